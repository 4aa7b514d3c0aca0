"""The review page: go through pictures by keys and put right what the stages could not know."""
