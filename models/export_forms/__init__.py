"""The networks in the operators that runtimes run fast: same weights, same result but for rounding.

A network names its form in `forms["graph"]`, see BaseVoiceConversionModel.form; the layers that all of them share
(utils/audio/graph_form.py) find theirs by themselves.
"""
