"""Compare labelstats.csv with NumPy: python3 check_numpy.py MASKS labelstats.csv

Needs NumPy and NiBabel (Debian: python3-numpy, python3-nibabel). Fails if a
foreground share or a smoothness differs by a relative error above 1e-12.
"""
import csv
import pathlib
import sys

import nibabel
import numpy

folder, table = pathlib.Path(sys.argv[1]), sys.argv[2]
rows = {row["mask"]: row for row in csv.DictReader(open(table))}
files = sorted(folder.rglob("*.nii.gz"))
worst = 0.0
assert len(files) == len(rows), (len(files), len(rows))
for file in files:
    mask = (numpy.asarray(nibabel.load(file).dataobj) != 0).astype(numpy.float64)
    row = rows[file.name[: -len(".nii.gz")]]
    magnitude = numpy.sqrt(sum(g**2 for g in numpy.gradient(mask)))
    for name, want in (("gamma_va", mask.mean()), ("gamma_msa", magnitude.mean())):
        error = abs(float(row[name]) - want) / max(abs(want), 1e-300)
        worst = max(worst, error)
        assert error <= 1e-12, (file.name, name, row[name], want)
print(f"{len(files)} masks agree with NumPy; largest relative difference {worst:.1e}")
