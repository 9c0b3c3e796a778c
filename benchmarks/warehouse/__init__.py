"""What a build of the warehouse costs: from nothing, after a day, and as the shop grows."""
