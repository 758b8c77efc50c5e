"""Turn Hugging Face Transformers checkpoints into verified graphs, one YAML spec per architecture."""

__version__ = "0.1.0"
