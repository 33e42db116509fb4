"""Compiles kernels.cu for every student and GPU, without a GPU, and says what the compiler made of it.

    python kernels/build.py            writes compiled/ (cubins, PTX, manifest.json); tests/kernels.rs compares the
                                       manifest with the sources
    python kernels/build.py --check    compiles anew and compares with what is in compiled/; writes nothing there
    python kernels/build.py --emulator DIRECTORY    a libcuda.so.1 that runs the kernels on the host; what follows
                                       the directory goes to the C++ compiler, such as -fsanitize=address

The front end is NVRTC 12.2, because drivers from 535 on read its PTX; the assembler is ptxas 12.9, whose cubins
need no particular driver of the 12 and later series.  Both come from PyPI, pinned, into .tools/ (not committed).
"""

import argparse
import ctypes
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
COMPILED = HERE / "compiled"
TOOLS = HERE / ".tools"
WHEELS = ("nvidia-cuda-nvrtc-cu12==12.2.140", "nvidia-cuda-nvcc-cu12==12.9.86")

# Sizes that there are kernels for: (channels F, radial functions K, tensor channels T).  A student of fewer channels is
# loaded with more that are zero; tiles need 2T = F, and F a multiple of 64.
STUDENTS = ((128, 16, 64), (64, 16, 32))
ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90a")
FALLBACK = "compute_80"


def sources():
    return sorted(path for suffix in ("*.cu", "*.cuh") for path in HERE.glob(suffix))


# Contraction stays off: every fused multiply-add is written, so the bits do not depend on the compiler.
OPTIONS = ("--std=c++17", "--fmad=false", "--device-as-default-execution-space")


def name_of(student):
    return "f{}_k{}_t{}".format(*student)


def sizes_of(student):
    """Macro and its value."""
    return zip(("STUDENT_CHANNELS", "STUDENT_RADIAL", "STUDENT_TENSOR_CHANNELS"), student)


def install():
    if not TOOLS.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(TOOLS)]
        subprocess.run([*pip, *WHEELS], check=True)


def inline(name="kernels.cu", seen=None):
    """One text with every local include in place: NVRTC reads no files."""
    seen = set() if seen is None else seen
    lines = [f'#line 1 "{name}"']
    for number, line in enumerate((HERE / name).read_text().splitlines(), 1):
        included = re.match(r'#include "(.+)"', line)
        if included and included[1] not in seen:
            seen.add(included[1])
            lines += [inline(included[1], seen), f'#line {number + 1} "{name}"']
        elif not included and line != "#pragma once":
            lines.append(line)
    return "\n".join(lines)


def nvrtc():
    lib = TOOLS / "nvidia" / "cuda_nvrtc" / "lib"
    # NVRTC looks for its built-in functions by name: the loader must have them already.
    ctypes.CDLL(str(next(lib.glob("libnvrtc-builtins.so*"))), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(lib / "libnvrtc.so.12"))


def to_ptx(library, source, architecture, student):
    """PTX for a virtual architecture such as compute_80."""
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    defines = [f"-D{macro}={size}" for macro, size in sizes_of(student)]
    options = [f"--gpu-architecture={architecture}", *OPTIONS, *defines]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = library.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    if log.value:
        print(log.value.decode(), file=sys.stderr)
    if failed:
        raise SystemExit(f"{architecture}: NVRTC failed")
    library.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    library.nvrtcGetPTX(program, ptx)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value


def to_cubin(ptx, architecture, folder):
    """Assembles PTX; returns the cubin and each kernel's registers and spilt bytes."""
    source, target = folder / "kernels.ptx", folder / "kernels.cubin"
    source.write_bytes(ptx)
    ptxas = TOOLS / "nvidia" / "cuda_nvcc" / "bin" / "ptxas"
    ptxas.chmod(0o755)
    command = [ptxas, f"-arch={architecture}", "-O3", "--verbose", source, "-o", target]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    # A kernel's properties are followed by its registers; those of a function that it calls are not.
    kernels = {}
    properties = r"Function properties for (\w+)\n(.*)\nptxas info\s+: Used (\d+) registers"
    for name, memory, registers in re.findall(properties, report):
        spilt = sum(map(int, re.findall(r"(\d+) bytes spill", memory)))
        kernels[name] = {"registers": int(registers), "spilt_bytes": spilt}
    return target.read_bytes(), kernels


def compile_all():
    """Images for drivers by name of file, and what the compiler says of each kernel."""
    install()
    library = nvrtc()
    source = inline()
    images, kernels = {}, {}
    for student in STUDENTS:
        name = name_of(student)
        kernels[name] = {}
        for architecture in ARCHITECTURES:
            ptx = to_ptx(library, source, architecture.replace("sm_", "compute_"), student)
            image, kernels[name][architecture] = to_cubin(ptx, architecture, TOOLS)
            images[f"{name}.{architecture}.cubin.z"] = image
        # A text for the driver ends with a zero byte.
        images[f"{name}.{FALLBACK}.ptx.z"] = to_ptx(library, source, FALLBACK, student) + b"\0"
    return images, kernels


def build():
    images, kernels = compile_all()
    COMPILED.mkdir(exist_ok=True)
    for path in COMPILED.iterdir():
        path.unlink()
    for name, image in images.items():
        (COMPILED / name).write_bytes(zlib.compress(image, 9))
    hashes = lambda paths: {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    made_from = hashes([*sources(), pathlib.Path(__file__)])
    manifest = {"made_from": made_from, "files": hashes(sorted(COMPILED.iterdir())), "kernels": kernels}
    (COMPILED / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def check():
    """Says what in compiled/ the sources do not give; what the images are packed by may differ."""
    images, kernels = compile_all()
    there = {path.name: zlib.decompress(path.read_bytes()) for path in COMPILED.glob("*.z")}
    wrong = [name for name in sorted(images.keys() | there.keys()) if images.get(name) != there.get(name)]
    if json.loads((COMPILED / "manifest.json").read_text())["kernels"] != kernels:
        wrong.append("manifest.json")
    if wrong:
        raise SystemExit(f"not what the sources give: {', '.join(wrong)}; run python kernels/build.py")


def module_of(student):
    """The kernels for one student as C++ in a namespace of their own, with a table of them."""
    text = inline().replace('extern "C" ', "")
    clusters, bounds = r"(?:IN_CLUSTERS\((\w+)\) )?", r"(?:__launch_bounds__\([^)]*\) )?"
    kernels = re.findall(rf"__global__ void {clusters}{bounds}(\w+)\(", text)
    table = ", ".join(f'{{"{name}", entry({name}, {blocks or 1})}}' for blocks, name in kernels)
    sizes = "".join(f"#undef {macro}\n#define {macro} {size}\n" for macro, size in sizes_of(student))
    module = f"Module module{{kernel_sizes, sizeof kernel_sizes, {{{table}}}}};"
    return f"{sizes}namespace {name_of(student)} {{\n{text}\n{module}\n}}\n"


def build_emulator(folder, flags):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    modules = ", ".join(f"&{name_of(student)}::module" for student in STUDENTS)
    all_modules = f"Module* const all_modules[] = {{{modules}}};\n"
    (folder / "modules.inc").write_text("".join(map(module_of, STUDENTS)) + all_modules)
    command = ["c++", "-std=c++17", "-O2", "-mfma", "-mf16c", "-ffp-contract=off", "-shared", "-fPIC", "-w"]
    command += [*flags, f"-I{folder}", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([*command, HERE / "emulator" / "driver.cpp", "-o", folder / "libcuda.so.1"], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--emulator", metavar="DIRECTORY")
    arguments, flags = parser.parse_known_args()
    if arguments.emulator:
        build_emulator(arguments.emulator, flags)
    elif arguments.check:
        check()
    else:
        build()
