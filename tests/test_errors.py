"""UserError: what every user's mistake becomes."""

from vmaf_train.errors import UserError


def test_a_user_error_is_an_exception_and_keeps_its_line() -> None:
    assert issubclass(UserError, Exception)
    assert str(UserError("no x: do y")) == "no x: do y"
