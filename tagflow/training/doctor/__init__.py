"""Doctor: can this machine run that plan?"""
