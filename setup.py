"""Beside pyproject.toml: the wheel brings what is recorded in `proofs/` along, as `verify/recorded/`."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROOFS = Path("proofs")
BROUGHT = ("*.tsv", "protocols/**/*.json")  # `live/` is about other machines


class WithProofs(build_py):
    """Copies the recorded ledger into the package that is built; an editable installation reads the checkout's."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._copies():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copies = [] if self.editable_mode else [target for _, target in self._copies()]
        return [*super().get_outputs(include_bytecode), *copies]

    def _copies(self) -> list[tuple[str, str]]:
        target = Path(self.build_lib) / "verify" / "recorded"
        found = sorted(path for pattern in BROUGHT for path in PROOFS.glob(pattern))
        return [(str(path), str(target / path.relative_to(PROOFS))) for path in found]


setup(cmdclass={"build_py": WithProofs})
