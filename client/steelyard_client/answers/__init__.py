"""What the gateway answers, as dataclasses: one file for each group of addresses, named as in its OpenAPI document.

Fields that a newer gateway adds become attributes, too; those that an older one does not send are None.
"""
