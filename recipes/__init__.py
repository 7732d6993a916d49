"""How the shipped weights were made. Each folder is one recipe with settings of its own:

python -m recipes.content_encoder [key=value ...]
python -m recipes.content_edges [key=value ...]
python -m recipes.pitch [key=value ...]
python -m recipes.stream_pitch [key=value ...]
python -m recipes.base_voice [key=value ...]
"""
