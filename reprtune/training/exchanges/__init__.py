"""What members of a trial exchange.

An exchange is `exchange(members, **options)`: members are the networks of a trial, in the order of their ring, each
as name -> parameter or buffer, the tensors themselves. It changes them in place, reading what they were before.
Optimizer states are not its business.
"""
