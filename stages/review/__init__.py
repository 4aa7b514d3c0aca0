"""The review page: go through pictures with the keyboard and correct what the stages did."""
