"""The screens of the app, modal ones included; thin, with the arithmetic elsewhere."""
