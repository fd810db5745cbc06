"""CLIP's vocabulary and tokenizer: how many tokens a caption has, and in which windows they lie."""
