"""Values as text, JSON, SARIF and Markdown."""
