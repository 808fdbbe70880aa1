"""The vocabulary is frozen, loses nothing, and covers what comes."""

from __future__ import annotations

import pytest

from worldsim.captions.vocabulary import (
    FIRST_BYTE,
    FIRST_WORD,
    PAD,
    PART_START,
    VOCABULARY,
    WORDS,
    Vocabulary,
    join_words,
    split_words,
)


def test_the_list_is_the_one_that_weights_were_made_for() -> None:
    """A change of this digest makes shipped weights read other words: only append, and raise the version."""
    assert (VOCABULARY.digest, len(WORDS), VOCABULARY.version) == ("6284ad867ea3", 1326, 2)
    assert VOCABULARY.size == 2048
    assert WORDS[0] == "." and WORDS.index("red") + FIRST_WORD == 1182


@pytest.mark.parametrize(
    "text",
    [
        "",
        "red brick walls, a blue floor and two green balls",
        "RED walls!!",
        "xyzzy plugh 12345 walls",
        "Zwölf Bälle, 🐉🐉 naïve",
        "don't; worldsim/DoomBasic-v0: (100%) a_b",
    ],
)
def test_decoding_gives_the_text_back(text: str) -> None:
    ids = VOCABULARY.encode(text)
    assert VOCABULARY.decode(ids) == join_words(split_words(text))
    assert split_words(VOCABULARY.decode(ids)) == split_words(text)
    assert all(FIRST_BYTE <= i < FIRST_WORD + len(WORDS) for i in ids)


def test_known_words_are_one_token_and_others_bytes() -> None:
    assert len(VOCABULARY.encode("Red walls, 42 blue balls.")) == 7
    assert VOCABULARY.encode("xyz") == [FIRST_BYTE + byte for byte in b"xyz"]
    assert VOCABULARY.encode("é") == [FIRST_BYTE + byte for byte in "é".encode()]
    assert VOCABULARY.encode("xx yy") == [FIRST_BYTE + byte for byte in b"xx yy"]
    assert VOCABULARY.encode("  ") == []


def test_order_matters() -> None:
    a, b = VOCABULARY.encode("red walls, blue floor"), VOCABULARY.encode("blue walls, red floor")
    assert sorted(a) == sorted(b) and a != b


def test_pad_and_start_tokens_are_skipped_and_wrong_ids_refused() -> None:
    assert VOCABULARY.decode([PART_START, *VOCABULARY.encode("red walls"), PAD, PAD]) == "red walls"
    with pytest.raises(ValueError, match="token id 2047 stands for nothing"):
        VOCABULARY.decode([2047])
    with pytest.raises(ValueError):
        VOCABULARY.decode([FIRST_BYTE + 0xFF])


def test_words_of_coming_worlds_are_listed() -> None:
    coming = (
        "disc box glass pane switch lamp seed occluder tree stone zombie cow water sapling biome forest "
        "desert oak leaves cube sphere cylinder pyramid capsule collect the minecraft crafter pickaxe sword"
    )
    assert [word for word in coming.split() if word not in VOCABULARY] == []


def test_a_wrong_list_is_refused() -> None:
    with pytest.raises(ValueError, match="each word once"):
        Vocabulary(("red", "red"))
    with pytest.raises(ValueError, match="do not fit into 258 ids"):
        Vocabulary(("red",), size=258)
