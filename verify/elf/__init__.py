"""ELF files: what of them is code, and how its places are called."""

from verify.elf.image import Image, NotAnImage, Place, Section, read

__all__ = ["Image", "NotAnImage", "Place", "Section", "read"]
