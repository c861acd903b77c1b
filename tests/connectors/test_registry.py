"""The list of connectors: what it names reads a source, and nothing else is in it."""

import pkgutil

import pytest

import connectors
from connectors import CONNECTORS, connector, origins, reader_of

#: folders of connectors/ that are none: each says so in its docstring or is what connectors share
OTHERS = {"channels", "conformance", "simulation", "wazapin"}


def test_every_folder_is_a_connector_or_known_to_be_none():
    folders = {module.name for module in pkgutil.iter_modules(connectors.__path__) if module.ispkg}

    assert folders - OTHERS == {found.__name__.rpartition(".")[2] for found in CONNECTORS.values() if found.__name__}


def test_the_client_of_the_contacts_api_is_in_no_list():
    assert "wazapin" not in {origin.name for origin in origins()}
    with pytest.raises(KeyError, match="known: file, shopify, woocommerce"):
        connector("wazapin")


def test_a_connector_that_reads_nobody_is_no_reader():
    with pytest.raises(KeyError, match="cannot read its provider"):
        reader_of("file")
