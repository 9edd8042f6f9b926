"""What a change does to what runs: data that it destroys, pods that it restarts, gates that it opens."""
