"""The list of all small molecules."""

from rdkit import Chem

from distill import tiny


def test_known_molecules_are_there_once_and_nothing_else_but_closed_shells(tmp_path):
    (tmp_path / "valid.smi").write_text("OC methanol\nC\n")
    tiny.main([str(tmp_path / "tiny.smi"), "--without", str(tmp_path / "valid.smi")])
    found = (tmp_path / "tiny.smi").read_text().split()
    assert len(set(found)) == len(found)
    # Hydrogen, hydrogen fluoride, nitrogen, water, ammonia, phosphine, hydrogen cyanide, ethane, ethyne, carbon dioxide, formic acid, sulfur dioxide, thiirene.
    assert {"[H][H]", "F", "N#N", "O", "N", "P", "C#N", "CC", "C#C", "O=C=O", "O=CO", "O=S=O", "C1=CS1"} <= set(found)
    assert not {"CO", "C", "O=O"} & set(found)
    for smiles in found:
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        assert 2 <= molecule.GetNumAtoms() <= 8
        assert all(atom.GetNumRadicalElectrons() == 0 and atom.GetFormalCharge() == 0 for atom in molecule.GetAtoms())
