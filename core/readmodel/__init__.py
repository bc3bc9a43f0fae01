"""What views look like in MongoDB, and who reads them."""
