# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages name what is there: links lead somewhere, and files, functions and tests exist."""

from __future__ import annotations

import functools
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
ABOUT_CODE = [ROOT / name for name in ("CONTRIBUTING.md", "docs/design.md", "docs/testing.md")]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
FILE = re.compile(r"[\w*./-]*[\w*-]\.(?:h|cc|c|pml|py|json|txt|build|map)\b|(?<![\w/])(?:scripts|tests|hw)/[\w*./-]*[\w*]")
FUNCTION = re.compile(r"`(?:\w+::)*~?(\w+)\(\)`")
TEST = re.compile(r"`([A-Z]\w+)\.([A-Z]\w+|\*)`")


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@functools.cache
def files() -> dict[str, Path]:
    """All that is ours, by its path in the repository, directories too."""
    places = [ROOT / name for name in ("hw", "include", "qapi", "tests", "scripts", "docs", ".ci")]
    found = [*ROOT.glob("*"), *(path for place in places for path in [place, *place.rglob("*")])]
    return {str(path.relative_to(ROOT)): path for path in found}


@functools.cache
def named(name: str) -> list[Path]:
    """What a page may mean: the end of a path, from a directory on."""
    name = name.rstrip("/")
    return [path for key, path in files().items() if fnmatchcase(f"/{key}", f"*/{name}")]


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


@functools.cache
def sources() -> list[Path]:
    return [p for key, p in files().items() if p.is_file() and not key.endswith((".md", ".json"))]


def has_word(word: str, paths: list[Path]) -> bool:
    return any(re.search(rf"\b{word}\b", text_of(path)) for path in paths)


def blocks(page: Path) -> list[str]:
    """Paragraphs, and each item of a list and row of a table by itself, without what is shown as code."""
    text = re.sub(r"^ *```.*?^ *```$", "\n", page.read_text(), flags=re.M | re.S)
    return re.split(r"\n\s*\n|\n(?=\s*(?:[-|]|\d+\.) ?)", text)


def anchors(page: Path) -> set[str]:
    """Of its headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", names(PAGES))
def test_links(name: str) -> None:
    page = ROOT / name
    for target, anchor in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name} links {target}"
        assert not anchor or anchor in anchors(path), f"{name} links {target}#{anchor}"


@pytest.mark.parametrize("name", names(ABOUT_CODE))
def test_files(name: str) -> None:
    for block in blocks(ROOT / name):
        for file in FILE.findall(re.sub(r"\]\([^)]*\)", "]", block)):
            assert named(file), f"{name} names {file}:\n{block}"


@pytest.mark.parametrize("name", names(ABOUT_CODE))
def test_functions(name: str) -> None:
    """A function is in a file that its paragraph, item or row names; anywhere, if that names none."""
    for block in blocks(ROOT / name):
        of_block = [path for file in FILE.findall(block) for path in named(file) if path.is_file()]
        for function in FUNCTION.findall(block):
            assert has_word(function, of_block or sources()), f"{name} names {function}():\n{block}"


@functools.cache
def unit_tests() -> set[tuple[str, str]]:
    pattern = re.compile(r"^TEST(?:_F|_P)?\((\w+), (\w+)\)", re.M)
    return {pair for path in (ROOT / "tests").rglob("*.cc") for pair in pattern.findall(text_of(path))}


@pytest.mark.parametrize("name", names(ABOUT_CODE))
def test_tests(name: str) -> None:
    for suite, test in TEST.findall((ROOT / name).read_text()):
        known = any(suite == each[0] and test in ("*", each[1]) for each in unit_tests())
        assert known or named(f"{suite}.{test}"), f"{name} names {suite}.{test}"
