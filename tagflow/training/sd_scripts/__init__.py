"""sd-scripts as it is: its options, dataset schema, command line, captions, steps and files."""
