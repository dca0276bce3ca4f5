"""The API's description in OpenAPI 3.1, and a page of it. Only what is asked for is imported: nothing but
:mod:`.urls`, :mod:`.views`, :mod:`.page` and :mod:`.missing` may be reached without drf-spectacular."""
