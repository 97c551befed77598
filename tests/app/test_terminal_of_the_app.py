"""The terminal while the app has it, and what the command line hands to the app."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kvtui.app.app import KvtuiApp
from kvtui.cli import main
from kvtui.commands.app import of_the_device
from kvtui.commands.known import CommandLine
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.planning.starting import defaults_for
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.session import Session


def stderr_of(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
    return done.stderr


def test_native_noise_waits_until_the_screen_is_free() -> None:
    heard = stderr_of(
        "import os, sys\n"
        "from kvtui.app.terminal import own_screen\n"
        "with own_screen():\n"
        "    os.write(2, b'noise\\x1b[31m\\n')\n"
        "    print('picture', file=sys.__stderr__)\n"
        "    print('words', file=sys.stderr)\n"
        "os.write(2, b'after\\n')\n"
    )
    assert heard == "picture\nwords\nnoise\N{REPLACEMENT CHARACTER}[31m\nafter\n"


def test_the_screen_is_given_back_after_a_failure() -> None:
    heard = stderr_of(
        "import os\n"
        "from kvtui.app.terminal import own_screen\n"
        "try:\n"
        "    with own_screen():\n"
        "        raise RuntimeError\n"
        "except RuntimeError:\n"
        "    os.write(2, b'here\\n')\n"
    )
    assert heard == "here\n"


@pytest.mark.parametrize("device", ["H100 SXM", "RTX 4090", "T4", "WSE-2"])
def test_without_choices_the_devices_class_decides(device: str) -> None:
    values = vars(CommandLine().read(["--gpu", device]))
    scenario, expected = scenario_from(of_the_device(values)), defaults_for(find_device(device))
    assert (scenario.model_ref, scenario.context, scenario.batch) == (expected.model, expected.context, expected.batch)
    assert scenario.continuous_batching == expected.continuous_batching
    assert scenario.paged_attention == expected.paged_attention
    assert scenario.flash_attention == expected.flash_attention


@pytest.mark.parametrize("speed", ["0", "0.4", "101", "nan", "inf", "fast", "\x1b[31m"])
def test_a_wrong_speed_is_one_line(capsys: pytest.CaptureFixture[str], speed: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--speed", speed])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("kvtui: --speed: ")
    assert message.count("\n") == 1
    assert message[:-1].isprintable()


def test_what_was_said_may_go_when_there_is_no_screen_any_more() -> None:
    """The timer of a message may come while the app ends: found by seed 226 of the campaign of keys."""
    app = KvtuiApp(Session(scenario_from({})))
    app.clear_notifications()
    assert app.said is None
