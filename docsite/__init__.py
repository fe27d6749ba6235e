"""The documents as a site: `docs/` and what is generated from the code, built whole, checked, read without a network.

    source = docs/*.md, moved pages of the repository (moving), reference pages (settings_page, endpoints_page,
             commands_page), the navigation (docs/nav.yml)
    build  = Zensical, strict: no page, link or anchor that is not there
    check  = the pages as they came out (checking): every link, every anchor, nothing fetched from elsewhere

A tool of the project's own, beside `bench`: nothing in the package imports it.
"""
