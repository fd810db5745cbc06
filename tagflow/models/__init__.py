"""Model files: is this a complete SDXL checkpoint, or an SDXL VAE, and which file exactly is it?"""
