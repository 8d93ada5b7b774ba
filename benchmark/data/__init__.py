"""What training and scoring read: decoded images, teacher features, crops, and batches of them."""
