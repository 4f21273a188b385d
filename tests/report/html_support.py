"""Pages as a parser sees them, and text that tries to be more than text."""

from html.parser import HTMLParser

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}{% raw %}\x00\u202e\ud800"
VOID = {"meta", "img", "source", "br", "wbr", "path"}


class Document(HTMLParser):
    """Tags with their attributes, headings, and whether every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.stack, self.faults, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if self.stack and self.stack[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def assert_well_formed(document):
    """Every tag closed in order, one of each landmark, and no reference to nothing."""
    assert document.faults == []
    assert document.stack == []
    assert [len(document.all(tag)) for tag in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    ids = [attrs["id"] for _, attrs in document.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in document.all("a") if a["href"].startswith("#")} <= set(ids)
    assert {a["aria-labelledby"] for _, a in document.tags if "aria-labelledby" in a} <= set(ids)
