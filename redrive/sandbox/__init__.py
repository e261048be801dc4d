"""The three providers, served over real HTTP as they are published: for trying settings, for the demo, for tests.

It plays the other side, so it shares no code with what calls it, and of the providers' values only names: what it
counts is what a provider would have seen.
"""
