"""`watchstander demo`: the whole watch on a recording, as processes of their own, told while it happens."""
