"""Write what the documentation generates from specs, schemas and rules: ``python docs/regenerate.py``.

`docs/schema.md` and `docs/rules.md` are the output of a command, byte for byte, and `docs/cli.md` is what ``--help`` of
each command says. `schemas/vocabulary.schema.json` has the names that editors complete. The README has the tables of
`exporter list --markdown` and the text of a spec, each between two markers. With ``--check`` nothing is written, and
the exit code says whether something is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from exporter.cli.main import cli
from exporter.cli.render.catalogue import catalogue_markdown
from exporter.cli.render.manual import commands_page, rules_page, schema_page
from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.language.vocabulary import vocabulary_document

ROOT = Path(__file__).parent.parent
SHOWN_SPEC = "specs/bert.yaml"


def generated() -> dict[Path, str]:
    """Return the text each generated file should have."""
    table = catalogue_markdown([load_spec(str(path)) for path in list_specs(ROOT / "specs")])
    spec = (ROOT / SHOWN_SPEC).read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    readme = between(readme, "catalogue", f"\n{table}\n")
    readme = between(readme, "spec", f"```yaml\n{spec}```\n")
    return {
        ROOT / "README.md": readme,
        ROOT / "schemas" / "vocabulary.schema.json": vocabulary_document(),
        ROOT / "docs" / "schema.md": schema_page(),
        ROOT / "docs" / "rules.md": rules_page(),
        ROOT / "docs" / "cli.md": commands_page(cli),
    }


def between(text: str, name: str, content: str) -> str:
    """Return a text with what is between ``<!-- name -->`` and ``<!-- /name -->`` replaced."""
    before, start, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->\n")
    if not start or not end:
        raise SystemExit(f"README.md has lost its markers <!-- {name} --> and <!-- /{name} -->")
    return f"{before}{start}{content}{end}{after}"


def main() -> int:
    """Write the stale files, or with ``--check`` only name them."""
    stale = [path for path, text in generated().items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is stale' if '--check' in sys.argv else 'written'}")
    if "--check" in sys.argv:
        return 1 if stale else 0
    for path, text in generated().items():
        if path in stale:
            path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
