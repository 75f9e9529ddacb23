"""Pure methods: arrays and strings in, values out."""
