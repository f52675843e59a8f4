"""What every ModelAdmin of a project is built from: confirmation, lists, badges, times."""
