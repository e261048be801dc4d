"""The providers as translators: values in, values out."""
