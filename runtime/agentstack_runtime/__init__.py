"""What an agent on Agent Stack is written with. Each room is usable alone."""
