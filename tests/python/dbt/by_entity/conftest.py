"""The small project, written once for each file of tests, and its chain, built once a test."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator

import pytest
from chain import MODELS, SAME_SUM, SHOP, SOURCES, TESTS, Chain
from databases import create_database, drop_database

from loaders.settings import ROOT, Settings


@pytest.fixture(scope="module")
def project(
    servers: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Chain]]:
    """Writes the small project; the same macros, the same name."""
    name = f"by_entity_{secrets.token_hex(4)}"
    create_database(servers, name)
    folder = tmp_path_factory.mktemp("by_entity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTGRES_DB", name)
        shutil.copytree(ROOT / "macros", folder / "macros")
        for path in (folder / "macros").glob("*.yml"):
            path.unlink()
        (folder / "models").mkdir()
        (folder / "seeds").mkdir()
        shutil.copytree(ROOT / "tests/dbt/generic", folder / "tests/dbt/generic")
        project_file = (ROOT / "dbt_project.yml").read_text().split("\nmodels:")[0]
        (folder / "dbt_project.yml").write_text(
            project_file + "\nmodels:\n  ledgerline:\n    +schema: marts\n"
            "seeds:\n  ledgerline:\n    +schema: marts\n"
        )
        chain = Chain(folder, Settings())
        written: dict[str, str] = {}

        def fresh() -> Chain:
            files = {f"models/{model}.sql": sql for model, sql in MODELS.items()}
            files |= {"models/sources.yml": SOURCES, "seeds/rates.csv": "rate\n1\n"}
            files |= {"models/tests.yml": TESTS, "tests/dbt/same_sum.sql": SAME_SUM}
            now = {name: (folder / name).read_text() for name in files if (folder / name).exists()}
            if now != files or not written:
                for name, text in files.items():
                    (folder / name).write_text(text)
                chain.dbt("parse")
                written.update(files)
            return chain

        yield fresh
    drop_database(servers, name)


@pytest.fixture
def chain(project: Callable[[], Chain]) -> Chain:
    """The chain, built once."""
    chain = project()
    chain.rows(SHOP)
    chain.dbt("build")
    assert chain.customers() == {"ann": (7, 2), "bob": (8, 1)}
    return chain
