"""The read models: the documents of the views in MongoDB, and their readers."""
