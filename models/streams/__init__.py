"""The networks as streams: block by block, with a memory that passes from one block to the next.

A network names its form in `forms["stream"]`, see BaseVoiceConversionModel.form.
"""
