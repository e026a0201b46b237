import pytest

from verify.models.x86.isa.hex_text import encoding_bytes


@pytest.mark.parametrize("text", ["90", "66 90", " 6690\n", "0F1F 00", "00" * 16])
def test_hex_with_or_without_spaces(text):
    assert encoding_bytes(text) == bytes.fromhex(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("9", "'9' has 1 hex digits, expected 2 to 32, even"),
        ("", "'' has 0 hex digits, expected 2 to 32, even"),
        ("90 0x90", "'90 0x90' is not hex at position 5: 'x'"),
        ("9\u0660", "'9\u0660' is not hex at position 2: '\u0660'"),  # a digit elsewhere
        ("90" * 17, f"{'90' * 17!r}... has 17 bytes, expected at most 16"),
    ],
)
def test_what_is_no_encoding_is_named(text, error):
    with pytest.raises(ValueError) as raised:
        encoding_bytes(text)
    assert str(raised.value) == error
