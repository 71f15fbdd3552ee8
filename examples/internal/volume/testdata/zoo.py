"""Writes image files of many kinds into a folder, and zoo.json with what each holds.

    python3 zoo.py FOLDER

NIfTI files are written by nibabel; the bytes that writers in the field leave in a header
are then put in by hand. Their shape, affine and values in zoo.json are those that nibabel
reads from the file, or from the file before it was edited where nibabel does not read it as
the NIfTI library does. MetaImage files are written by hand from the same arrays.
"""

import gzip
import json
import os
import struct
import sys
import zlib

import nibabel as nib
import numpy as np

out = sys.argv[1]
rng = np.random.default_rng(7)
zoo = []


def path(name):
    return os.path.join(out, name)


def note(name, shape, affine, values, notes=0):
    zoo.append({
        "file": name,
        "shape": [int(n) for n in shape],
        "affine": np.asarray(affine, float).tolist(),
        "values": np.asarray(values, float).ravel(order="F").tolist(),
        "notes": notes,
    })


def note_file(name, read=None, affine=None, notes=0):
    """Notes what nibabel reads from read, or from the file itself."""
    image = nib.load(path(read or name))
    note(name, image.shape, image.affine if affine is None else affine, image.get_fdata(), notes)


def oblique(spacing, origin=(-11.5, 20.25, 7)):
    a, b, c = 0.3, -0.2, 0.1
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    m = np.eye(4)
    m[:3, :3] = rx @ ry @ rz @ np.diag(spacing)
    m[:3, 3] = origin
    return m


def integers(shape, dtype):
    low, high = (0, 250) if np.dtype(dtype).itemsize == 1 and np.dtype(dtype).kind == "u" else (-100, 100)
    if np.dtype(dtype).kind == "u":
        low = 0
    return rng.integers(low, high, shape).astype(dtype)


SHAPE = (5, 4, 3)
AFFINE = oblique((0.5, 0.75, 3))


def save(name, data, affine=AFFINE, kind=nib.Nifti1Image, codes=(1, 1), endian="<", edit=None):
    """Saves an image; edit receives the uncompressed file as a bytearray."""
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(data.dtype)
    image = kind(data, affine, header)
    image.set_qform(affine, codes[0])
    image.set_sform(affine, codes[1])
    nib.save(image, path(name))
    if edit:
        opened = gzip.open if name.endswith(".gz") else open
        with opened(path(name), "rb") as f:
            raw = bytearray(f.read())
        edit(raw)
        with opened(path(name), "wb") as f:
            f.write(raw)


def put(offset, form, *values):
    def edit(raw):
        struct.pack_into(form, raw, offset, *values)
    return edit


def edits(*list_of):
    def edit(raw):
        for e in list_of:
            e(raw)
    return edit


# Every type, both byte orders, both versions.
for dtype in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"):
    for endian, kind, version in (("<", nib.Nifti1Image, 1), (">", nib.Nifti1Image, 1), ("<", nib.Nifti2Image, 2), (">", nib.Nifti2Image, 2)):
        name = f"{dtype}_{'little' if endian == '<' else 'big'}_{version}.nii"
        save(name, integers(SHAPE, dtype), kind=kind, endian=endian)
        note_file(name)

# Scaling.
NAN = b"\x00\x00\xc0\x7f"
data = integers(SHAPE, "int16")
save("slope_inter_nan.nii.gz", data, edit=put(112, "4s4s", NAN, NAN))
save("slope_inf.nii", data, edit=put(112, "<ff", np.inf, 3))
save("slope_zero_inter_nan.nii", data, edit=put(112, "<ff", 0, np.nan))
save("slope_inter.nii", data, edit=put(112, "<ff", 0.1, -7.3))
for name in ("slope_inter_nan.nii.gz", "slope_inf.nii", "slope_zero_inter_nan.nii", "slope_inter.nii"):
    note_file(name)
nan2 = struct.pack("<d", np.nan)
save("slope_inter_nan_2.nii", data, kind=nib.Nifti2Image, edit=put(176, "8s8s", nan2, nan2))
note_file("slope_inter_nan_2.nii")

# A mask of zeros and ones saved under the header of an int16 scan, which makes nibabel scale.
scan = nib.Nifti1Image(data, AFFINE)
mask = (data > 20).astype("float64")
nib.save(nib.Nifti1Image(mask, AFFINE, scan.header), path("mask_under_int16_header.nii.gz"))
note_file("mask_under_int16_header.nii.gz")

# Affines.
save("qform_only.nii", data, codes=(1, 0))
note_file("qform_only.nii")
flipped = AFFINE @ np.diag([1, 1, -1, 1])
save("qform_left_handed.nii", data, affine=flipped, codes=(2, 0))
note_file("qform_left_handed.nii")
save("sform_only.nii", data, codes=(0, 2))
note_file("sform_only.nii")
save("no_form.nii", data, codes=(0, 0))
note_file("no_form.nii")
save("sform_zero.nii.gz", data, edit=put(280, "<12f", *[0] * 12))
note_file("sform_zero.nii.gz", read="qform_only.nii")
save("sform_nan.nii", data, edit=put(280, "<12f", *[np.nan] * 12))
note_file("sform_nan.nii", read="qform_only.nii")
save("sform_zero_no_qform.nii", data, codes=(0, 1), edit=put(280, "<12f", *[0] * 12))
note_file("sform_zero_no_qform.nii", read="no_form.nii")

# pixdim. Beside an sform it does not matter; otherwise the size is taken as 1.
save("pixdim_zero_sform.nii", data, codes=(0, 1), edit=put(80, "<fff", 0, 0, 0))
note_file("pixdim_zero_sform.nii")
save("pixdim_nan_sform.nii", data, codes=(0, 1), edit=put(80, "<fff", *[np.nan] * 3))
note_file("pixdim_nan_sform.nii", read="sform_only.nii")
save("pixdim_zero.nii", data, codes=(0, 0), edit=put(88, "<f", 0))
note_file("pixdim_zero.nii", notes=1)
save("pixdim_one.nii", data, codes=(0, 0), edit=put(88, "<f", 1))
save("pixdim_nan.nii", data, codes=(0, 0), edit=put(88, "<f", np.nan))
note_file("pixdim_nan.nii", read="pixdim_one.nii", notes=1)
save("pixdim_negative.nii", data, codes=(0, 0), edit=put(80, "<f", -0.5))
note_file("pixdim_negative.nii")
save("qfac_zero.nii", data, codes=(1, 0), edit=put(76, "<f", 0))
note_file("qfac_zero.nii", read="qform_only.nii")
save("qfac_nan.nii", data, codes=(1, 0), edit=put(76, "<f", np.nan))
note_file("qfac_nan.nii", read="qform_only.nii")
save("qfac_four.nii", data, codes=(1, 0), edit=put(76, "<f", 4))
note_file("qfac_four.nii", read="qform_only.nii")

# Axes.
save("dim4_zero.nii", data, edit=put(40, "<8h", 4, 5, 4, 3, 0, 0, 0, 0))
note_file("dim4_zero.nii", read="sform_only.nii")
save("dim_seven.nii", data, edit=put(40, "<8h", 7, 5, 4, 3, 1, 1, 0, 1))
note_file("dim_seven.nii", read="sform_only.nii")
save("dim3_zero.nii", data[:, :, :1], edit=put(40, "<8h", 3, 5, 4, 0, 0, 0, 0, 0))
save("one_slice.nii", data[:, :, :1])
note_file("dim3_zero.nii", read="one_slice.nii")
save("channels.nii.gz", integers(SHAPE + (4,), "int16"))
note_file("channels.nii.gz")
save("vector.nii.gz", integers(SHAPE + (1, 3), "float32"), edit=put(68, "<h", 1007))
note_file("vector.nii.gz")
save("vector_2d.nii", integers((5, 4, 1, 1, 3), "float32"), edit=put(68, "<h", 1007))
note_file("vector_2d.nii")
flat = np.diag([-0.5, -0.5, 1, 1.0])
save("two_axes.nii", data[:, :, 0], affine=flat)
note_file("two_axes.nii")
save("two_axes_flat_sform.nii", data[:, :, 0], affine=flat, codes=(0, 1),
     edit=edits(put(280, "<12f", -0.5, 0, 0, 0, 0, -0.5, 0, 0, 0, 0, 0, 0), put(88, "<f", 0)))
note_file("two_axes_flat_sform.nii", read="two_axes.nii")

# Compression.
save("padded.nii.gz", data)
with open(path("padded.nii.gz"), "ab") as f:
    f.write(bytes(1000))
note_file("padded.nii.gz")
save("plain.nii", data)
with open(path("plain.nii"), "rb") as f:
    raw = f.read()
with open(path("members.nii.gz"), "wb") as f:
    f.write(gzip.compress(raw[:100]) + gzip.compress(b"") + gzip.compress(raw[100:]) + bytes(512))
note_file("members.nii.gz")
os.rename(path("members.nii.gz"), path("MEMBERS.NII.GZ"))
zoo[-1]["file"] = "MEMBERS.NII.GZ"

# Pairs.
for kind, version in ((nib.Nifti1Pair, 1), (nib.Nifti2Pair, 2)):
    for endian, name in (("<", f"pair_{version}.hdr"), (">", f"pair_big_{version}.hdr"), ("<", f"pair_gz_{version}.hdr.gz")):
        save(name, integers(SHAPE + (2,), "int16"), kind=kind, endian=endian)
        note_file(name)
        note_file(name.replace(".hdr", ".img"))
save("pair_offset.hdr", data, kind=nib.Nifti1Pair, edit=put(108, "<f", 32))
with open(path("pair_offset.img"), "rb") as f:
    raw = f.read()
with open(path("pair_offset.img"), "wb") as f:
    f.write(bytes(32) + raw)
note_file("pair_offset.hdr")

# MetaImage. It stores coordinates with x to the left and y to posterior, the channels of a
# voxel side by side, and every direction as a group of numbers.
LPS = np.diag([-1.0, -1, 1, 1])
META = {"uint8": "MET_UCHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT", "float32": "MET_FLOAT", "float64": "MET_DOUBLE", "int32": "MET_INT"}


def meta(name, data, affine, interleaved=False, compressed=False, big=False, data_file="LOCAL", prefix=b"", lines=(), swap=None):
    axes = 2 if data.ndim == 2 else 3
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = (lps[:3, :3] / spacing)[:axes, :axes]
    values = np.moveaxis(data, -1, 0) if interleaved else data
    raw = values.astype(values.dtype.newbyteorder(">" if big else "<")).tobytes(order="F")
    if compressed:
        raw = zlib.compress(raw)
    numbers = lambda xs: " ".join(repr(float(x)) for x in xs)
    header = {
        "ObjectType": "Image", "NDims": axes, "BinaryData": "True", "BinaryDataByteOrderMSB": str(big), "CompressedData": str(compressed),
        "TransformMatrix": numbers(directions.T.ravel()), "Offset": numbers(lps[:axes, 3]), "ElementSpacing": numbers(spacing[:axes]),
        "DimSize": " ".join(str(n) for n in data.shape[:axes]),
    }
    if interleaved:
        header["ElementNumberOfChannels"] = data.shape[-1]
    header["ElementType"] = META[data.dtype.name]
    for old, new in (swap or {}).items():
        header[new] = header.pop(old)
    text = "".join(f"{k} = {v}\n" for k, v in header.items()) + "".join(line + "\n" for line in lines) + f"ElementDataFile = {data_file}\n"
    with open(path(name), "wb") as f:
        f.write(text.encode() + (raw if data_file.upper() == "LOCAL" else b""))
    if data_file.upper() != "LOCAL":
        target = path(data_file)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as f:
            f.write(prefix + raw)
    note(name, data.shape, affine, data)


for dtype in META:
    meta(f"{dtype}.mha", integers(SHAPE, dtype), AFFINE)
    meta(f"{dtype}_big.mha", integers(SHAPE, dtype), flipped, big=True)
meta("compressed.mha", data, AFFINE, compressed=True)
meta("channels.mha", integers(SHAPE + (3,), "int16"), AFFINE, interleaved=True)
meta("external.mhd", data, AFFINE, data_file="external.raw")
meta("external_z.mhd", data, AFFINE, compressed=True, data_file="external_z.zraw")
meta("external_folder.mhd", data, AFFINE, data_file="folder/voxels.raw")
meta("external_skip.mhd", data, AFFINE, data_file="skip.raw", prefix=bytes(100), lines=["HeaderSize = 100"])
meta("external_end.mhd", data, AFFINE, data_file="end.raw", prefix=bytes(77), lines=["HeaderSize = -1"])
meta("external_big.mhd", integers(SHAPE + (2,), "float32"), AFFINE, big=True, interleaved=True, data_file="big.raw")
meta("local.mha", data, AFFINE, data_file="Local")
meta("two_byte_orders.mha", data, AFFINE, big=True, lines=["ElementByteOrderMSB = True"])
meta("two_offsets.mha", data, np.eye(4), lines=["Origin = 0 0 0", "Position = -0 0.0 0e1", "ElementSize = 1 1 1"])
meta("old_names.mha", data, AFFINE, swap={"TransformMatrix": "Orientation", "Offset": "Position", "BinaryDataByteOrderMSB": "ElementByteOrderMSB"})
meta("two_axes.mha", data[:, :, 0], np.diag([0.5, 0.75, 1, 1]))
meta("two_axes.mhd", data[:, :, 0], np.diag([-0.5, 0.75, 1, 1]), data_file="two_axes.raw")
meta("array.mha", integers(SHAPE + (2,), "float32"), AFFINE, interleaved=True)
with open(path("array.mha"), "rb") as f:
    raw = f.read()
with open(path("array.mha"), "wb") as f:
    f.write(raw.replace(b"MET_FLOAT", b"MET_FLOAT_ARRAY"))

with open(path("zoo.json"), "w") as f:
    json.dump(zoo, f)
