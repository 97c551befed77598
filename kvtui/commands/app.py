"""``kvtui`` without a command: the app, on the scenario that the options describe or on the one it was left with."""

from __future__ import annotations

from kvtui.commands.narration import fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from kvtui.engine.scenario.scenario import Scenario
    from kvtui.engine.scenario.values import Values


def add(parser: argparse.ArgumentParser) -> None:
    """The options of the app."""
    group = parser.add_argument_group("app")
    group.add_argument("--play", action="store_true", help="begin to play at once")
    group.add_argument("--speed", metavar="X", help="speed of the film, 0.5 to 100")
    group.add_argument("--theme", metavar="NAME", help="kvtui-dark, kvtui-light or another theme of Textual")
    group.add_argument("--motion", metavar="HOW", help="full, reduced or none")
    group.add_argument("--pixels", metavar="HOW", help="pictures in pixels: auto, off, kitty, iterm2 or sixel")
    group.add_argument("--fps", metavar="N", help="frames per second while playing, 0 for steps by key only")


def run(args: argparse.Namespace) -> int:
    """Open the app, and return its exit code when it is left.

    Raises InputError for options that are wrong. Where there is no terminal and no browser, one line names the report.
    """
    from kvtui.app.start import begin
    from kvtui.app.terminal import Ending, is_terminal, show
    from kvtui.commands.parser import COLORS, choose
    from kvtui.engine.basis.places import confined
    from kvtui.engine.scenario.options import OPTIONS

    begin()
    choose("color", args.color, COLORS)
    ending = Ending() if is_terminal() else None
    in_browser = confined() is not None
    values = vars(args)
    chosen = opened(values) if any(values[option.key] is not None for option in OPTIONS) else None
    speed = None if args.speed is None else _speed(args.speed)
    if ending is None and not in_browser:
        fail("not a terminal: stdin and stderr must be one; --report prints the plan without")
    from kvtui.app.app import KvtuiApp
    from kvtui.state.session import Session
    from kvtui.state.settings import load
    from kvtui.state.themes import theme_names

    settings = load(values, theme_names())
    scenario, follows, note = chosen or reopened(values, settings.remember)
    session = Session(scenario, follows_device=follows)
    _ = session.plan
    app = KvtuiApp(session, settings, play=args.play, speed=speed, note=note)
    if ending is not None:
        return show(app, ending)
    app.run()
    return app.return_code or 0


def opened(values: Values) -> tuple[Scenario, bool, str]:
    """The scenario of ``values``, whether it follows its device, and nothing to say about it. Raises InputError."""
    from kvtui.engine.planning.starting import FOLLOWING_THE_DEVICE
    from kvtui.engine.scenario.values import scenario_from

    follows = all(values[key] is None for key in FOLLOWING_THE_DEVICE)
    return scenario_from(of_the_device(values) if follows else values), follows, ""


def reopened(values: Values, remember: bool) -> tuple[Scenario, bool, str]:
    """The scenario that the app was left with, or else the first one, with what there is to say about it."""
    from kvtui.engine.basis.errors import InputError
    from kvtui.state.remembered import read

    try:
        kept = read() if remember else {}
        return opened({**values, **kept}) if kept else first(values)
    except InputError as error:
        return *first(values)[:2], f"the last scenario is left out: {error}"


def first(values: Values) -> tuple[Scenario, bool, str]:
    """The first scenario: on this machine's accelerators where it has some that are known."""
    from kvtui.bench.this_machine import read_machine
    from kvtui.engine.basis.errors import InputError
    from kvtui.engine.device.machine import words

    machine = read_machine()
    if not machine.devices:
        return opened(values)
    try:
        here = words(machine)
        scenario, follows, _ = opened({**values, **here})
    except InputError as error:
        return *opened(values)[:2], str(error)
    return scenario, follows, f"on this machine's {here['gpu']}; g chooses another device"


def of_the_device(values: Values) -> Values:
    """``values`` with the defaults of the device's class, for when nothing but a device was chosen."""
    from kvtui.engine.planning.starting import defaults_for
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.scenario.values import device_of

    given = {option.key: values[option.key] for option in OPTIONS if values.get(option.key) is not None}
    return {**values, **defaults_for(device_of(values), given).values, **given}


def _speed(text: str) -> float:
    from kvtui.engine.basis.errors import InputError
    from kvtui.engine.basis.untrusted import plain
    from kvtui.engine.picture.film import SPEEDS

    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not SPEEDS[0] <= value <= SPEEDS[-1]:
        raise InputError(f"--speed: '{plain(text)}' is not a number from {SPEEDS[0]:g} to {SPEEDS[-1]:g}")
    return value
