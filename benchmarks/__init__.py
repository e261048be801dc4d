"""How fast Redrive is, beside what engineers write today, beside its peers and beside the limits of the parts."""
