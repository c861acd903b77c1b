def test_x(organization_id):
    pass
