"""Whether kvtui is whole where this interpreter has it installed: ``python installed.py``, copied away from the source.

It runs the commands of the README that need no network, asks for each extra that is missing, and opens the app in a
terminal. The standard library is enough, so that nothing hides a dependency that is not declared.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distribution
from importlib.util import find_spec

KVTUI = shutil.which("kvtui", path=os.path.dirname(sys.executable)) or sys.exit("no kvtui beside this interpreter")
ANSWERED = (
    ("--version",),
    ("--help",),
    ("doctor",),
    ("--report", "--model", "Llama-3.3-70B", "--gpu", "H100 SXM", "--gpus", "2", "--dtype", "fp8", "--context", "16K"),
    ("--report", "json", "--model", "gemma3:27b", "--gpu", "64 GB M4 Max", "--engine", "llama.cpp"),
    ("fix", "--model", "Qwen3-32B", "--gpu", "RTX 4090", "--context", "32K"),
    ("compare", "--", "--kv-dtype", "fp8"),
    ("estimate", "mla", "--emb-dim", "4096", "--n-heads", "32", "--n-layers", "32", "--kv-heads", "8",
     "--latent-dim", "512", "--context-length", "32K"),
    ("reconcile", "vllm serve Qwen/Qwen3-32B --max-model-len 32768", "--gpu", "RTX 4090"),
    ("devices", "--template", "RTX 4090"),
    ("models", "gemma"),
    ("plot", "--card", "--model", "Qwen3-32B", "--gpu", "RTX 4090", "--context", "32K", "-o", "slide.svg"),
    ("plot", "--figure", "frontier", "-o", "frontier.svg"),
    ("watch", "--demo", "--once"),
    ("replay", "synthetic:requests=20,rate=4"),
    ("bench", "--size", "fast", "--groups", "moe"),
    ("generate",),
)  # fmt: skip
EXTRAS = {
    "images": ("matplotlib", ("plot", "--figure", "frontier", "-o", "frontier.png")),
    "web": ("textual_serve", ("serve",)),
    "hub": ("huggingface_hub", ("--report", "--model", "hf:Qwen/Qwen3-8B")),
    "cluster": ("distributed", ("replay", "synthetic:requests=20,rate=4", "--find", "rate", "--gpu", "L40S",
                                "--slo", "ttft=2s", "--dask", "tcp://127.0.0.1:1")),
}  # fmt: skip
SECONDS, BETWEEN_SECONDS = 300, 2
SCREENS = "234561q"
REFUSED = {2, 3}


def run(words: tuple[str, ...], folder: str) -> subprocess.CompletedProcess[str]:
    """``kvtui`` with ``words`` in ``folder``."""
    command = [KVTUI, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)


def opened() -> bool:
    """Whether the app draws all its screens, and ends with 0 on the key that quits."""
    pid, end = pty.fork()
    if not pid:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "36"}
        os.execv(KVTUI, [KVTUI, "--model", "Llama-3.1-8B", "--gpu", "H100 SXM"])
    written, keys, begun = b"", list(SCREENS), time.monotonic()
    pressed = begun
    while time.monotonic() - begun < SECONDS:
        if select.select([end], [], [], 0.1)[0]:
            try:
                written += os.read(end, 65536)
            except OSError:
                break
        if keys and b"Llama-3.1-8B" in written and time.monotonic() - pressed > BETWEEN_SECONDS:
            os.write(end, keys.pop(0).encode())
            pressed = time.monotonic()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 and b"Traceback" not in written


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"KVTUI_CONFIG_DIR": f"{folder}/config", "KVTUI_STATE_DIR": f"{folder}/state"}
        for words in ANSWERED:
            done = run(words, folder)
            if done.returncode or "Traceback" in done.stderr:
                wrong.append(f"kvtui {' '.join(words)}: exit code {done.returncode}: {done.stderr[-300:]}")
        for extra, (package, words) in EXTRAS.items():
            if find_spec(package) is None:
                done = run(words, folder)
                if done.returncode not in REFUSED or f"pip install 'kvtui[{extra}]'" not in done.stderr:
                    wrong.append(f"without {extra}, kvtui {' '.join(words)}: {done.returncode}: {done.stderr[-300:]}")
        if not opened():
            wrong.append("the app does not open and end")
    print("\n".join(wrong) or f"kvtui {distribution('kvtui').version} is whole on Python {sys.version.split()[0]}")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
