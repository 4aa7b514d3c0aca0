"""The domain: faces, mouths, labels and models. `table.py` lists the stages in order."""
