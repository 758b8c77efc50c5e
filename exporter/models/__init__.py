"""The model behind a plan; torch and transformers enter here."""
