"""Records what types a real llama.cpp's quantiser gives the tensors of small models, for each file type.

``python tests/recording/llamacpp_types.py FILE LIBRARY [COUNT [SEED]]`` draws COUNT shapes, as ``llamacpp_starts.py``
does, and asks libllama, the shared LIBRARY, for the types without writing a file (``dry_run``). A row has a shape, and
by file type the bytes of the tensors of each type. File types that usual quantisers make with an importance matrix get
one here; it is empty, since the choice of types asks only whether there is one.

Every second round of shapes has feed-forward blocks that are no whole number of the usual blocks, and some more are as
deep as Llama-70B or have rows that are none either. Phi-3 is left out: its published files are older than today's rule.
"""

from __future__ import annotations

import ctypes
import gzip
import json
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.recording.llamacpp_starts import FAMILIES, drawn, write_model

FILE_TYPES = {
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q2_K": 10,
    "Q3_K_S": 11,
    "Q3_K_M": 12,
    "Q3_K_L": 13,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "IQ2_XXS": 19,
    "IQ2_XS": 20,
    "Q2_K_S": 21,
    "IQ3_XS": 22,
    "IQ3_XXS": 23,
    "IQ1_S": 24,
    "IQ4_NL": 25,
    "IQ3_S": 26,
    "IQ3_M": 27,
    "IQ2_S": 28,
    "IQ2_M": 29,
    "IQ4_XS": 30,
    "IQ1_M": 31,
    "BF16": 32,
    "TQ1_0": 36,
    "TQ2_0": 37,
    "MXFP4_MOE": 38,
}
"""``enum llama_ftype``."""

RECORDED = tuple(family for family in FAMILIES if family != "phi3")
ODD = 96
DEEP, LAYERS = ("llama", "qwen2", "qwen3", "gemma2", "mixtral"), 80
NARROW, HIDDEN = ("llama", "qwen3", "gemma2", "gpt-oss"), 352

TENSOR = re.compile(
    r"^\[ *\d+/ *\d+\] (\S+) +- \[([\d, ]+)\], type = +(\w+), size = [^(\n]*(?:\((\w+)\))?", re.MULTILINE
)


class Params(ctypes.Structure):
    """``struct llama_model_quantize_params``."""

    _fields_ = (
        ("nthread", ctypes.c_int32),
        ("ftype", ctypes.c_int),
        ("output_tensor_type", ctypes.c_int),
        ("token_embedding_type", ctypes.c_int),
        ("allow_requantize", ctypes.c_bool),
        ("quantize_output_tensor", ctypes.c_bool),
        ("only_copy", ctypes.c_bool),
        ("pure", ctypes.c_bool),
        ("keep_split", ctypes.c_bool),
        ("dry_run", ctypes.c_bool),
        ("imatrix", ctypes.c_void_p),
        ("kv_overrides", ctypes.c_void_p),
        ("tt_overrides", ctypes.c_void_p),
        ("prune_layers", ctypes.c_void_p),
        ("max_buf_size", ctypes.c_size_t),
    )


class Matrix(ctypes.Structure):
    """``struct llama_model_imatrix_data``; an entry without a name is the last."""

    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t))


def quantised(library: ctypes.CDLL, path: Path, file_type: str) -> str:
    """What the quantiser logs of the file at ``path``."""
    lines: list[bytes] = []
    log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda _, text, __: lines.append(text))
    library.llama_log_set(log, None)
    library.llama_model_quantize_default_params.restype = Params
    params = library.llama_model_quantize_default_params()
    params.ftype, params.dry_run, params.nthread = FILE_TYPES[file_type], True, 1
    values = (ctypes.c_float * 1)(1.0)
    matrices = (Matrix * 2)(Matrix(b"none", values, 1), Matrix(None, None, 0))
    if file_type.startswith("IQ"):
        params.imatrix = ctypes.cast(matrices, ctypes.c_void_p)
    code = library.llama_model_quantize(
        str(path).encode(), str(path.with_suffix(".out")).encode(), ctypes.byref(params)
    )
    text = b"".join(lines).decode("utf-8", "replace")
    library.llama_log_set(None, None)
    if code:
        raise SystemExit(text[-2000:])
    return text


def record(library: ctypes.CDLL, shape: dict[str, Any]) -> dict[str, Any]:
    """One shape's row."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_model(path, shape)
        for file_type in FILE_TYPES:
            sizes = Counter[str]()
            for _, dimensions, before, after in TENSOR.findall(quantised(library, path, file_type)):
                kind = (after or before).upper()
                elements, block = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
                columns, *others = map(int, dimensions.split(","))
                for other in others:
                    columns *= other
                sizes[kind] += columns // elements * block
            found[file_type] = dict(sizes)
    return {"shape": shape, "files": found}


def main(target: Path, library: Path, count: str = "36", seed: str = "1") -> None:
    """Writes the rows to ``target``, compressed."""
    llama = ctypes.CDLL(str(library))
    llama.llama_backend_init()
    chance, shapes = random.Random(int(seed)), []
    for number in range(int(count)):
        around, at = divmod(number, len(RECORDED))
        shape = drawn(chance, RECORDED[at])
        if RECORDED[at] == "nemotron_h":
            shape["tied"] = False
        if around % 2:
            shape |= {key: shape[key] + ODD for key in ("ff", "expert_ff", "shared_ff") if key in shape}
        shapes.append(shape)
    shapes += [drawn(chance, family) | {"layers": LAYERS} for family in DEEP]
    shapes += [drawn(chance, family) | {"hidden": HIDDEN} for family in NARROW]
    rows = [record(llama, shape) for shape in shapes]
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    target.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
