# Where minicnn is not installed yet, as on a hosted notebook, install it from its folder.
import importlib.util
import subprocess
import sys
from pathlib import Path

spec = importlib.util.find_spec("minicnn")
if spec is None or spec.origin is None:  # no origin: a folder of that name, and no package
    here = Path.cwd()
    places = [here, *here.parents, *sorted(p for p in here.iterdir() if p.is_dir())]
    folder = next((p for p in places if (p / "minicnn" / "__init__.py").exists()), None)
    if folder is None:
        raise ModuleNotFoundError(f"put minicnn's folder into {here}, and run this cell again")
    command = [sys.executable, "-m", "pip", "install", "--quiet", f"{folder}[plots]"]
    subprocess.run(command, check=True)
    importlib.invalidate_caches()
