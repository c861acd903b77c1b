"""What MkDocs cannot do from its configuration: pages from outside docs/, and links that leave it.

The documents are read in two places: in the repository, where ``../README.md`` is a file, and on the site, which has
only some of the files. Links between documents work in both. A link to a file that the site does not have, such as a
module, becomes plain text there. A link to a file that does not exist stays as it is, and fails the strict build.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
#: page of the site -> the file that it is made of
BORROWED = {
    "index.md": ROOT / "README.md",
    "contributing.md": ROOT / ".github" / "CONTRIBUTING.md",
    "security.md": ROOT / ".github" / "SECURITY.md",
    "changelog.md": ROOT / "CHANGELOG.md",
}
#: an inline link or image: its text, and where it leads, without a title
LINK = re.compile(r"(!?\[(?P<text>[^\]\n]*)\]\()(?P<path>[^()#\s:]+)(?P<rest>#[^()\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """List every decision in the navigation, in the order of their numbers."""
    decisions = sorted(path.name for path in Path(config.docs_dir, "adr").glob("*.md"))
    for entry in config.nav or []:
        if "Decisions" in entry:
            entry["Decisions"] = [f"adr/{name}" for name in decisions]


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Add the documents that stand outside docs/."""
    for name, path in BORROWED.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: object) -> str:
    """Point links at pages of the site; a link to another file of the repository becomes its text."""
    here = Path(page.file.abs_src_path or "").parent
    pages = {
        Path(file.abs_src_path).resolve(): file.src_uri
        for file in files
        if file.abs_src_path and file.inclusion.is_included()
    }

    def on_site(link: re.Match[str]) -> str:
        path = (here / link["path"]).resolve()
        if found := pages.get(path):
            start = posixpath.dirname(page.file.src_uri) or "."
            return f"{link[1]}{posixpath.relpath(found, start)}{link['rest'] or ''})"
        return link["text"] if path.is_relative_to(ROOT) and path.exists() else link[0]

    return LINK.sub(on_site, markdown)
