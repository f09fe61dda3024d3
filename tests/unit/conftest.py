"""A folder of references to write into."""

import pytest

from mlipbench.core.shipped import reference_data
from mlipbench.data.manifest_file import read_document, write_document


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A copy of the folder of the references with the silicon entries that are needed."""
    root = tmp_path_factory.mktemp("references")
    (root / "silicon").mkdir()
    for name in ("silicon_pbe_properties.yaml", "silicon_pbe_phonons.yaml"):
        (root / "silicon" / name).write_bytes((reference_data() / "silicon" / name).read_bytes())
    document = read_document(reference_data() / "manifest.yaml")
    for name in set(document["references"]) - {"silicon_pbe_properties", "silicon_pbe_phonons"}:
        del document["references"][name]
    write_document(root / "manifest.yaml", document)
    return root
