"""SGLang's memory pools, by release."""
