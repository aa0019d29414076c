"""Tables hold all cells, aligned as text and escaped as HTML."""

import pytest

from calolab.tables import Html, Table


def test_a_table_as_text():
    table = Table([("a", 1.5), ("long name", 12)], ("what", "x"), right=[1], title="Title", notes=["a note"])
    assert repr(table).splitlines() == ["Title", "what         x", "a          1.5", "long name   12", "a note"]


def test_a_table_as_html_is_escaped_but_for_its_links():
    link = Html("<a href='https://doi.org/x'>x</a>", "x")
    table = Table([("<script>", link)], ("first_column", "DOI"), title="a & b", remark="how <to> read")
    html = table._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "<b>a &amp; b</b>" in html
    assert ">first_<wbr>column</th>" in html and ">" + link + "</td>" in html and "how &lt;to&gt; read" in html
    assert html.count("<tr>") == 2 and repr(table).splitlines()[2].split() == ["<script>", "x"]


def test_a_table_without_head_or_rows():
    assert Table([("a", "b")]).to_html().count("<th") == 0 and repr(Table([("a", "b")])) == "a  b"
    assert Table([], ("a", "b"), title="nothing").to_html() == "" and repr(Table([], title="nothing")) == "nothing"


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"rows of one length, received \[1, 2\]"):
        Table([("a",), ("a", "b")])
