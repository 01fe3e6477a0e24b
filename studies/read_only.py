"""Django's admin as a window: rows that are evidence can be looked at and not touched."""

from django.contrib import admin
from django.http import HttpRequest

#: What Django's own filters append to the name of a field.
SUFFIXES = ("", "__exact", "__id__exact", "__isnull")


class ReadOnlyAdmin(admin.ModelAdmin):
    """Lists and shows rows; adds, changes and deletes none. Whatever changes them is a command or a page."""

    list_per_page = 50
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds evidence by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj=None) -> bool:
        """Nobody changes evidence."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj=None) -> bool:
        """Nobody deletes evidence; a listener withdraws by their code."""
        return False

    def lookup_allowed(self, lookup: str, value, request: HttpRequest) -> bool:
        """Filters that the list offers, no others: an address must not ask what no page shows."""
        offered = {each if isinstance(each, str) else each[0] for each in self.get_list_filter(request)}
        return any(lookup == each + suffix for each in offered for suffix in SUFFIXES)
