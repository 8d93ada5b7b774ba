"""Signals that end a process: the first one raises, closing is not interrupted, ignored ones stay ignored."""

import os
import signal

import pytest

from benchmark.signals import EXIT_CODES, handle_signals, keep_interruption, signals_held


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_process_with_its_code(number: int, code: int) -> None:
    handle_signals()
    with pytest.raises(SystemExit) as end:
        send(number)
    assert end.value.code == code
    assert code in EXIT_CODES


def test_the_first_signal_raises_and_later_ones_do_not_interrupt_the_closing() -> None:
    handle_signals()
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    send(signal.SIGINT)
    send(signal.SIGTERM)


def test_a_signal_takes_effect_after_the_block_that_holds_it() -> None:
    handle_signals()
    reached = []

    def block() -> None:
        with signals_held():
            send(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached == ["the end"]


def test_a_process_that_ignores_the_end_of_its_terminal_still_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handle_signals()
    send(signal.SIGHUP)


def swallow() -> None:
    try:
        send(signal.SIGTERM)
    except SystemExit as end:
        raise RuntimeError("error of a library that replaces whatever it catches") from end


def test_an_interruption_that_a_library_turns_into_an_error_is_raised_again() -> None:
    handle_signals()
    with pytest.raises(SystemExit) as end, keep_interruption():
        swallow()
    assert end.value.code == 143


def test_an_error_without_an_interruption_stays_what_it_is() -> None:
    handle_signals()
    with pytest.raises(RuntimeError, match="own"), keep_interruption():
        raise RuntimeError("of its own")
